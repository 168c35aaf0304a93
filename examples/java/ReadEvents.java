// Reads events of this product in Java with nothing but Apache Avro: schemas/avro and the bytes of a Kafka value.
//
//   java -cp 'avro-1.12.1.jar:jackson-core-2.21.2.jar:…' examples/java/ReadEvents.java schemas
//
// Prints each golden record as one line: its event type, a tab, the decoded record as JSON. With a Kafka client,
// `decoder.decode(record.value())` is all there is to do per record: the decoder finds the writer's schema by the
// fingerprint that the value begins with (Avro single-object encoding), among those that it was given.

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;

public class ReadEvents {
    public static void main(String[] arguments) throws IOException {
        Path schemas = Path.of(arguments[0]);
        for (Path file : listed(schemas.resolve("golden"), ".hex")) {
            String type = file.getFileName().toString().replace(".hex", "");
            Schema schema = new Schema.Parser().parse(schemas.resolve("avro").resolve(type + ".avsc").toFile());
            var decoder = new BinaryMessageDecoder<GenericRecord>(new GenericData(), schema);
            byte[] value = HexFormat.of().parseHex(Files.readString(file).strip());
            GenericRecord event = decoder.decode(value);
            System.out.println(type + "\t" + event);
        }
    }

    private static List<Path> listed(Path folder, String ending) throws IOException {
        try (var files = Files.list(folder)) {
            return files.filter(file -> file.toString().endsWith(ending)).sorted().toList();
        }
    }
}
