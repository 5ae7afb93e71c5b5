// What is going on, kept up by a socket: people connected, replies streaming, questions waiting.

import { ChatSocket } from "./socket.js";

const tile = document.querySelector("[data-live]");

function show({ people, streaming, waiting }) {
  const numbers = new Intl.NumberFormat(document.documentElement.lang);
  for (const [name, value] of Object.entries({ people, streaming, waiting })) {
    tile.querySelector(`[data-live-${name}]`).textContent = value === null ? "–" : numbers.format(value);
  }
}

if (tile) {
  const address = new URL("/ws/figures/", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  new ChatSocket(address.href, {
    onEvent: (event) => event.type === "live" && show(event),
    onState: (state) => (tile.dataset.state = state),
  }).connect();
}
