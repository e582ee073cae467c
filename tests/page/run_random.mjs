// Draws with the page's generator: reads a JSON list of seeds from stdin, writes draws of each to stdout.
import { readFileSync } from "node:fs";
import { Generator } from "../../chronoflux/page/static/random.js";

const results = JSON.parse(readFileSync(0, "utf8")).map((seed) => {
  const generator = new Generator(BigInt(seed));
  const times = (n, draw) => Array.from({ length: n }, draw);
  return [
    ...times(100, () => generator.random()),
    ...times(20_000, () => generator.normal()),
    ...times(100, () => generator.cauchy()),
    ...times(100, () => Generator.restore(generator.save()).random() + generator.random()),
  ];
});
process.stdout.write(JSON.stringify(results));
