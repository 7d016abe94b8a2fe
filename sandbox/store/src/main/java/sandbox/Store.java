package sandbox;

import de.bwaldvogel.mongo.MongoBackend;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import java.util.List;

/** MongoDB's wire protocol on an H2 file, or in memory: {@code Store PORT FILE|memory}. */
public final class Store {

    /** PyMongo 4.20 talks to nothing below wire version 9, and the library itself stops at 8. */
    private record Version(List<Integer> getVersionArray, int getWireVersion) implements MongoVersion {}

    private Store() {}

    public static void main(String[] args) {
        if (args.length != 2) {
            System.err.println("usage: store PORT FILE|memory");
            System.exit(2);
        }
        MongoBackend backend = args[1].equals("memory") ? new MemoryBackendById() : new DurableBackend(args[1]);
        backend.version(new Version(List.of(5, 0, 0), 13));
        MongoServer server = new MongoServer(backend);
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind("127.0.0.1", Integer.parseInt(args[0]));
    }
}
