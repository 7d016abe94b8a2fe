package sandbox;

import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.util.Locale;
import java.util.Set;

/**
 * Commits before it acknowledges. The library commits once a second, so that a SIGKILL takes hundreds of acknowledged
 * writes with it; a fault test would then blame the gateway for what its store forgot.
 */
final class DurableBackend extends H2Backend {

    private static final Set<String> WRITES = Set.of(
            "insert", "update", "delete", "findandmodify",
            "create", "createindexes", "drop", "dropindexes", "dropdatabase", "renamecollection");

    DurableBackend(String file) {
        super(file);
    }

    @Override
    public Document handleMessage(MongoMessage message) {
        String command = message.getDocument().keySet().iterator().next().toLowerCase(Locale.ROOT);
        try {
            return super.handleMessage(message);
        } finally {
            // Also after an error: a bulk that fails half way has written its first half.
            if (WRITES.contains(command)) {
                commit();
            }
        }
    }
}
