package sandbox;

import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.backend.memory.MemoryCollection;
import de.bwaldvogel.mongo.backend.memory.MemoryDatabase;
import de.bwaldvogel.mongo.bson.Document;

/** The library's store in memory, with {@link ById}. */
final class MemoryBackendById extends MemoryBackend {

    @Override
    public MemoryDatabase openOrCreateDatabase(String name) {
        CursorRegistry cursors = getCursorRegistry();
        return new MemoryDatabase(name, cursors) {
            @Override
            protected MemoryCollection openOrCreateCollection(String collection, CollectionOptions options) {
                return new Collection(this, collection, options, cursors);
            }
        };
    }

    private static final class Collection extends MemoryCollection {

        Collection(MongoDatabase database, String name, CollectionOptions options, CursorRegistry cursors) {
            super(database, name, options, cursors);
        }

        @Override
        protected QueryResult queryDocuments(
                Document query, Document orderBy, int skip, int limit, int batchSize, Document fields) {
            Iterable<Integer> places = ById.positions(getIndexes(), query);
            return places == null
                    ? super.queryDocuments(query, orderBy, skip, limit, batchSize, fields)
                    // The places only narrow the choice: each document is still held against the whole filter.
                    : matchDocuments(query, places, orderBy, skip, limit, batchSize, fields);
        }
    }
}
