// The tab's one WebSocket: kept open with backoff and jitter, watched by a heartbeat, and honest about its state.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
const CROWDED_WAIT = 15_000;
const READY_WITHIN = 20_000;
const PING_EVERY = 25_000;
const PONG_WITHIN = 10_000;
const SETTLED_AFTER = 5_000;
const SIGNED_OUT = 4401;
const FORBIDDEN = 4403;
const TOO_MANY = 4429;

/** How long to wait before attempt number `attempt` (from 0), in milliseconds: doubled each time, half of it random. */
export function backoff(attempt, random = Math.random) {
  const full = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** attempt);
  return full / 2 + (random() * full) / 2;
}

export class ChatSocket {
  /**
   * `onEvent(event)` gets each of the server's events; `onState(state)` one of "connecting", "open", "reconnecting",
   * "offline" and "signed-out". "open" is said when the server is ready, just before its `ready` is handed on.
   */
  constructor(url, { onEvent, onState }) {
    this.url = url;
    this.onEvent = onEvent;
    this.onState = onState;
    this.state = "";
    this.attempt = 0;
    this.socket = null;
    this.timers = {};
    addEventListener("online", () => this.#hurry());
    addEventListener("offline", () => this.#check());
    addEventListener("pageshow", (event) => event.persisted && this.#hurry());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#hurry());
  }

  connect() {
    this.#setState(navigator.onLine === false ? "offline" : this.state ? "reconnecting" : "connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    clearTimeout(this.timers.opening);
    // A server that hangs, or a network that swallows all, ends no attempt by itself.
    this.timers.opening = setTimeout(() => this.#drop(), READY_WITHIN);
    socket.addEventListener("message", ({ data }) => socket === this.socket && this.#receive(JSON.parse(data)));
    socket.addEventListener("close", ({ code }) => socket === this.socket && this.#closed(code));
  }

  get isOpen() {
    return this.state === "open";
  }

  /** Send a command; false where there is no open connection. */
  send(command) {
    if (!this.isOpen) return false;
    this.socket.send(JSON.stringify(command));
    return true;
  }

  #receive(event) {
    clearTimeout(this.timers.pong);
    if (event.type === "ready") this.#opened();
    if (event.type === "server.draining") this.#moveOn(Math.random() * event.within);
    if (event.type !== "pong") this.onEvent(event);
  }

  #opened() {
    clearTimeout(this.timers.opening);
    this.#setState("open");
    this.timers.settled = setTimeout(() => (this.attempt = 0), SETTLED_AFTER);
    this.timers.ping = setInterval(() => this.#ping(), PING_EVERY);
  }

  #ping() {
    if (!this.send({ type: "ping" })) return;
    clearTimeout(this.timers.pong);
    // A connection that died without a word is only noticed by its silence.
    this.timers.pong = setTimeout(() => this.#drop(), PONG_WITHIN);
  }

  /** Give up this connection, whose end may never be told, and make a new one. */
  #drop() {
    const old = this.socket;
    this.socket = null;
    old?.close();
    this.#closed(0);
  }

  /** The server goes away: leave it after `wait`, not in the same moment as everyone else. */
  #moveOn(wait) {
    clearTimeout(this.timers.drain);
    this.timers.drain = setTimeout(() => {
      this.attempt = 0;
      this.#drop();
    }, wait);
  }

  #closed(code) {
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    if (code === SIGNED_OUT || code === FORBIDDEN) {
      this.#setState("signed-out");
      return;
    }
    this.#setState(navigator.onLine === false ? "offline" : "reconnecting");
    const wait = Math.max(backoff(this.attempt), code === TOO_MANY ? CROWDED_WAIT * (1 + Math.random()) : 0);
    this.attempt += 1;
    this.timers.reconnect = setTimeout(() => this.connect(), wait);
  }

  /** The network is back, or the person: no reason to wait on, and one to look whether the connection still lives. */
  #hurry() {
    if (this.isOpen) {
      this.#ping();
    } else if (this.state === "reconnecting" || this.state === "offline") {
      if (this.socket?.readyState === WebSocket.CONNECTING) return;
      clearTimeout(this.timers.reconnect);
      this.socket?.close(); // it may be open, and not ready yet
      this.connect();
    }
  }

  #check() {
    if (this.isOpen) this.#drop();
    else if (this.state !== "signed-out") this.#setState("offline");
  }

  #setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.onState(state);
  }
}
