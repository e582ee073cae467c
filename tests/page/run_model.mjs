// Computes swarms with the page's model: reads a JSON list of cases from stdin, writes one of results to stdout.
import { readFileSync } from "node:fs";
import { Simulation } from "../../chronoflux/page/static/model.js";

const results = JSON.parse(readFileSync(0, "utf8")).map(({ params, seed, state, peers, events, ticks }) => {
  const swarm = new Simulation(params, BigInt(seed), state);
  for (const [peer, field] of Object.entries(peers)) {
    swarm.anchor(1000);
    swarm.hear(peer, field);
  }
  let done = 0;
  for (const [tick, name, data] of events) {
    swarm.advance(tick - done);
    swarm.fire(name, data);
    done = tick;
  }
  swarm.advance(ticks - done);
  const { x, y, vx, vy, phi } = swarm;
  const arrays = Object.fromEntries(Object.entries({ x, y, vx, vy, phi }).map(([k, v]) => [k, [...v]]));
  return { ...arrays, metrics: swarm.metrics(), random: swarm.random.save() };
});
process.stdout.write(JSON.stringify(results));
