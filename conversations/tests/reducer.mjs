// The page's reducer behind a pipe: a JSON line in is an event (or null for a new state), a JSON line out is the
// answer {commands, shown, info}.

import { createInterface } from "node:readline";

import { createState, reduce, shownMessages } from "../../static/js/protocol.js";

let state = createState();

for await (const line of createInterface({ input: process.stdin })) {
  const event = JSON.parse(line);
  const result = event ? reduce(state, event) : { state: createState(), commands: [] };
  state = result.state;
  const id = Object.keys(state.conversations)[0];
  const answer = { commands: result.commands, shown: id ? shownMessages(state, id) : [], info: state.conversations[id]?.info ?? null };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
