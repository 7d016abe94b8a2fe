package sandbox;

import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.h2.H2Collection;
import de.bwaldvogel.mongo.backend.h2.H2Database;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.util.Locale;
import java.util.Set;
import org.h2.mvstore.MVMap;
import org.h2.mvstore.MVStore;

/**
 * The library's store on a file, with {@link ById}, that commits before it acknowledges. The library commits once a second, so that a SIGKILL takes hundreds of acknowledged
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

    @Override
    protected MongoDatabase openOrCreateDatabase(String name) {
        MVStore store = getMvStore();
        CursorRegistry cursors = getCursorRegistry();
        return new H2Database(name, store, cursors) {
            @Override
            protected MongoCollection<Object> openOrCreateCollection(String collection, CollectionOptions options) {
                String namespace = getFullCollectionNamespace(collection);
                return new Collection(
                        this,
                        collection,
                        options,
                        store.openMap("databases." + namespace),
                        store.openMap("meta." + namespace),
                        cursors);
            }
        };
    }

    private static final class Collection extends H2Collection {

        Collection(
                MongoDatabase database,
                String name,
                CollectionOptions options,
                MVMap<Object, Document> data,
                MVMap<String, Object> meta,
                CursorRegistry cursors) {
            super(database, name, options, data, meta, cursors);
        }

        @Override
        protected QueryResult queryDocuments(
                Document query, Document orderBy, int skip, int limit, int batchSize, Document fields) {
            Iterable<Object> places = ById.positions(getIndexes(), query);
            return places == null
                    ? super.queryDocuments(query, orderBy, skip, limit, batchSize, fields)
                    // The places only narrow the choice: each document is still held against the whole filter.
                    : matchDocuments(query, places, orderBy, skip, limit, batchSize, fields);
        }
    }
}
