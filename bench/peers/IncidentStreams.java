// The small job in Kafka Streams, exactly once, one thread: compiled and started by bench.peers; job.py says the same.
//
// Settings after the project's documentation (Kafka Streams > Configuring a Streams Application; Memory Management):
// - processing.guarantee exactly_once_v2; commit.interval.ms stays at 100, its default under that guarantee.
// - A store with a record cache: successive changes of a key become one changelog record per commit, less to write.
// - An in-memory store: nothing goes to disk but the changelog.
// - Larger producer batches and polls: throughput. linger.ms stays at the 100 that Streams sets for itself.

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.util.Utf8;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

public final class IncidentStreams {
    private static final int HEAD = 10; // single-object encoding: two bytes of mark, eight of fingerprint
    private static final long MINUTE = 60_000_000L;
    private static final long[] RESPONSE = {15 * MINUTE, 60 * MINUTE, 240 * MINUTE, 1440 * MINUTE};
    private static final long[] UPDATE = {30 * MINUTE, 120 * MINUTE, 480 * MINUTE, 2880 * MINUTE};
    private static final int P1 = 0, P2 = 1, P3 = 2, P4 = 3;
    private static final int OPEN = 0, ANSWERED = 1, RESOLVED = 2;
    private static final long NONE = Long.MIN_VALUE;

    /** What is kept of an incident: state.avsc. */
    record Incident(int severity, int status, long openedAt, long deadline, int events) {}

    /** Writes Avro field by field, as the code does that Avro's compiler generates; used by one thread. */
    private static final class Writer {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(256);
        private final byte[] head;
        private BinaryEncoder out;

        Writer(byte[] head) {
            this.head = head;
        }

        BinaryEncoder begin() {
            bytes.reset();
            bytes.writeBytes(head);
            out = EncoderFactory.get().binaryEncoder(bytes, out);
            return out;
        }

        void deadline(long deadline) throws IOException {
            out.writeIndex(deadline == NONE ? 0 : 1);
            if (deadline != NONE) {
                out.writeLong(deadline);
            }
        }

        byte[] end() throws IOException {
            out.flush();
            return bytes.toByteArray();
        }
    }

    private static Serde<Incident> incidentSerde() {
        Writer writer = new Writer(new byte[0]);
        BinaryDecoder[] reused = {null};
        return Serdes.serdeFrom(
            (topic, incident) -> {
                try {
                    BinaryEncoder out = writer.begin();
                    out.writeEnum(incident.severity);
                    out.writeEnum(incident.status);
                    out.writeLong(incident.openedAt);
                    writer.deadline(incident.deadline);
                    out.writeInt(incident.events);
                    return writer.end();
                } catch (IOException error) {
                    throw new UncheckedIOException(error);
                }
            },
            (topic, value) -> {
                if (value == null) {
                    return null;
                }
                try {
                    BinaryDecoder in = reused[0] = DecoderFactory.get().binaryDecoder(value, reused[0]);
                    return new Incident(in.readEnum(), in.readEnum(), in.readLong(),
                        in.readIndex() == 0 ? NONE : in.readLong(), in.readInt());
                } catch (IOException error) {
                    throw new UncheckedIOException(error);
                }
            });
    }

    /** An event type: its name and what reads its records. */
    private static final class Kind {
        final boolean opened, answered, resolved;
        final GenericDatumReader<GenericRecord> reader;
        GenericRecord reused;

        Kind(Schema schema) {
            String name = schema.getName();
            opened = name.equals("IncidentOpened");
            answered = name.equals("IncidentResponded") || name.equals("IncidentUpdated");
            resolved = name.equals("IncidentResolved");
            reader = new GenericDatumReader<>(schema);
        }
    }

    private static final class Deciding implements Processor<byte[], byte[], byte[], byte[]> {
        private final Map<Long, Kind> kinds = new HashMap<>();
        private final Writer writer;
        private BinaryDecoder in;
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], Incident> incidents;

        Deciding(File events, File decided) {
            try {
                for (File file : events.listFiles((folder, name) -> name.startsWith("incident."))) {
                    Schema schema = new Schema.Parser().parse(file);
                    kinds.put(SchemaNormalization.parsingFingerprint64(schema), new Kind(schema));
                }
                long fingerprint = SchemaNormalization.parsingFingerprint64(new Schema.Parser().parse(decided));
                writer = new Writer(ByteBuffer.allocate(HEAD).order(ByteOrder.LITTLE_ENDIAN)
                    .put((byte) 0xc3).put((byte) 0x01).putLong(fingerprint).array());
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            incidents = context.getStateStore("incidents");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            try {
                byte[] value = record.value();
                long fingerprint = ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN).getLong(2);
                Kind kind = kinds.get(fingerprint);
                in = DecoderFactory.get().binaryDecoder(value, HEAD, value.length - HEAD, in);
                GenericRecord event = kind.reused = kind.reader.read(kind.reused, in);
                Incident after = decide(incidents.get(record.key()), kind, event);
                incidents.put(record.key(), after);
                context.forward(new Record<>(record.key(), encode(event, after), record.timestamp()));
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        private static int classify(GenericRecord event) {
            Object tier = event.get("tier");
            boolean first = tier != null && (Integer) tier == 1 || event.get("scope").toString().equals("platform");
            return switch (event.get("impact").toString()) {
                case "complete_outage" -> P1;
                case "critical_performance" -> first ? P1 : P2;
                case "material_aspect" -> first ? P2 : P3;
                case "processing_delay" -> P3;
                default -> P4;
            };
        }

        private static Incident decide(Incident before, Kind kind, GenericRecord event) {
            long at = (Long) event.get("occurred_at");
            if (kind.opened) {
                int severity = classify(event);
                return new Incident(severity, OPEN, at, at + RESPONSE[severity], 1);
            }
            Incident was = before == null ? new Incident(P4, OPEN, at, NONE, 0) : before;
            int status = kind.resolved ? RESOLVED : kind.answered ? ANSWERED : was.status;
            long deadline = kind.resolved ? NONE : kind.answered ? at + UPDATE[was.severity] : was.deadline;
            return new Incident(was.severity, status, was.openedAt, deadline, was.events + 1);
        }

        private byte[] encode(GenericRecord event, Incident after) throws IOException {
            BinaryEncoder out = writer.begin();
            out.writeString((Utf8) event.get("event_id"));
            out.writeString((Utf8) event.get("subject"));
            out.writeLong((Long) event.get("occurred_at"));
            out.writeEnum(after.severity);
            out.writeEnum(after.status);
            writer.deadline(after.deadline);
            out.writeInt(after.events);
            return writer.end();
        }
    }

    public static void main(String[] given) {
        Map<String, String> run = new HashMap<>(); // --name value
        for (int i = 0; i < given.length; i += 2) {
            run.put(given[i].substring(2), given[i + 1]);
        }
        File events = new File(run.get("schemas")), decided = new File(run.get("decided"));

        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(Stores.keyValueStoreBuilder(
            Stores.inMemoryKeyValueStore("incidents"), Serdes.ByteArray(), incidentSerde()).withCachingEnabled());
        builder.stream(run.get("input"), Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
            .process(() -> new Deciding(events, decided), "incidents")
            .to(run.get("name") + ".out", Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));

        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, run.get("name"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, run.get("bootstrap"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, run.get("folder"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L * 1024 * 1024);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 512 * 1024);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64L * 1024 * 1024);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 4_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");

        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start(); // its threads keep the program alive
    }
}
