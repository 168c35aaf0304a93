// Judges each document named on the command line with AsyncAPI's own parser; prints its problems as JSON.
import { readFileSync } from "node:fs";
import { AvroSchemaParser } from "@asyncapi/avro-schema-parser";
import { Parser } from "@asyncapi/parser";

const avro = AvroSchemaParser();
const parser = new Parser();
parser.registerSchemaParser(avro);

// 0 is an error, 1 a warning; hints, such as that there is AsyncAPI 3.1, are left out.
const WARNING = 1;

async function problems(text) {
  const { diagnostics } = await parser.parse(text);
  const found = diagnostics
    .filter((each) => each.severity <= WARNING)
    .map((each) => `${each.path.join(".")}: ${each.message}`);
  // The parser converts Avro without judging it: that is asked for apart, of the text as it was.
  for (const [name, message] of Object.entries(JSON.parse(text).components.messages)) {
    if (message.payload.schema === undefined) continue;
    const refused = await avro.validate({ data: message.payload.schema, path: [name] });
    found.push(...refused.map((each) => `${name}: ${each.message}`));
  }
  return found;
}

const judged = [];
for (const file of process.argv.slice(2)) judged.push(await problems(readFileSync(file, "utf8")));
console.log(JSON.stringify(judged));
