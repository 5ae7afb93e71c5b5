// The chat of one tab: the protocol's state, the socket that feeds it, the outbox, and what people do with them.

import { newName, Outbox } from "./outbox.js";
import { createState, liveReply, reduce, shownMessages } from "./protocol.js";
import { ChatSocket } from "./socket.js";
import { say } from "./strings.js";
import { toast } from "./toast.js";
import { Typing } from "./typing.js";

const AGAIN_AFTER = 2000;
const SPREAD = 0.25; // who was told to come back later does so within so much more of the wait, not all at once

export class ChatApp {
  constructor({ user, url }) {
    this.user = user;
    this.state = createState();
    this.outbox = new Outbox(sessionStorage, user);
    this.conversation = ""; // the one that is shown; "" is a new chat
    this.chat = ""; // names the new chat
    this.stopping = new Set();
    this.connection = "";
    this.listeners = { change: new Set(), event: new Set(), connection: new Set(), started: new Set() };
    this.socket = new ChatSocket(url, {
      onEvent: (event) => this.#receive(event),
      onState: (state) => this.#connected(state),
    });
    this.typing = new Typing((command) => this.socket.send(command));
    for (const entry of this.outbox.entries) {
      this.#reduce({ type: "local.sent", client_id: entry.command.client_id });
      if (entry.again) this.#sendAt(entry.command.client_id, entry.again);
    }
  }

  /** `change` (at most once a frame), `event` (each of the server's), `connection`, `started` (a new chat got its id). */
  on(name, listener) {
    this.listeners[name].add(listener);
    return () => this.listeners[name].delete(listener);
  }

  start() {
    this.socket.connect();
  }

  // --- what is shown ------------------------------------------------------------------------------------------------

  /** Show a conversation, or a new chat where `id` is "". */
  show(id) {
    this.conversation = id;
    if (id) this.dispatch({ type: "local.follow", conversation: id });
    else this.chat = this.outbox.entries.find((entry) => entry.chat)?.chat ?? newName();
    this.#leaveWhatIsOver();
    this.#changed();
  }

  get messages() {
    return shownMessages(this.state, this.conversation);
  }

  get info() {
    return this.state.conversations[this.conversation]?.info;
  }

  /** The unanswered and refused commands of what is shown. */
  get pending() {
    return this.outbox.entries.filter((entry) => this.#belongs(entry, this.conversation, this.chat));
  }

  get live() {
    return liveReply(this.state, this.conversation);
  }

  /** A reply is under way, or a command that will start one. */
  get isBusy() {
    return Boolean(this.live) || this.pending.some((entry) => !entry.refused);
  }

  isLiveIn(id) {
    return Boolean(liveReply(this.state, id));
  }

  // --- what people do -------------------------------------------------------------------------------------------------

  send(text, persona) {
    const conversation = this.conversation || null;
    const parent = this.messages.at(-1)?.id;
    const command = { type: "message.send", conversation, text };
    if (!conversation && persona) command.persona = persona;
    if (parent) command.parent = parent;
    this.#command(command);
  }

  edit(message, text) {
    this.#command({ type: "message.edit", message, text });
  }

  regenerate(reply) {
    this.#command({ type: "reply.regenerate", reply });
  }

  goOn(reply) {
    this.#command({ type: "reply.continue", reply });
  }

  stop() {
    const reply = this.live?.id;
    if (!reply || this.stopping.has(reply)) return;
    this.stopping.add(reply);
    this.socket.send({ type: "reply.stop", reply });
    this.#changed();
  }

  /** Something is being written to what is shown. */
  wrote() {
    if (this.conversation) this.typing.tell(this.conversation);
  }

  resend(clientId) {
    this.#transmit(this.outbox.retry(clientId));
    this.#changed();
  }

  discard(clientId) {
    this.outbox.settle(clientId);
    this.#changed();
  }

  /** Take in an event as if the server had sent it. */
  dispatch(event) {
    this.#reduce(event);
    this.#changed();
  }

  // --- between the socket and the state -------------------------------------------------------------------------------

  #command(command) {
    const entry = this.outbox.add({ ...command }, command.type === "message.send" && !this.conversation ? this.chat : "");
    this.#reduce({ type: "local.sent", client_id: entry.command.client_id });
    this.#transmit(entry);
    this.#changed();
  }

  #transmit(entry) {
    if (entry) this.socket.send(entry.command);
  }

  #reduce(event) {
    const { state, commands } = reduce(this.state, event);
    this.state = state;
    for (const command of commands) this.socket.send(command);
  }

  #receive(event) {
    if (event.type === "message.accepted") this.#accepted(event);
    else if (event.type === "error") this.#refused(event);
    else this.#reduce(event);
    if (event.type === "ready") this.#sendAgain();
    if (event.type === "conversation.snapshot") this.#settleStored(event);
    if (!this.live || !this.stopping.has(this.live.id)) this.stopping.clear();
    this.#leaveWhatIsOver();
    for (const listener of this.listeners.event) listener(event);
    this.#changed();
  }

  #accepted(event) {
    const entry = this.outbox.find(event.client_id);
    const id = event.conversation.id;
    if (!this.state.followed[id]) this.#reduce({ type: "local.follow", conversation: id });
    this.#reduce(event);
    this.outbox.settle(event.client_id);
    if (entry?.chat && entry.chat === this.chat && !this.conversation) {
      this.conversation = id;
      for (const listener of this.listeners.started) listener(event.conversation);
    }
  }

  #refused({ code, detail, client_id: clientId, conversation, retry_after: retryAfter }) {
    const entry = clientId && this.outbox.find(clientId);
    if (code === "busy" && entry) {
      const again = Date.now() + retryAfter * 1000 * (1 + Math.random() * SPREAD);
      this.outbox.postpone(clientId, detail, again);
      this.#sendAt(clientId, again);
    } else if (code === "unavailable") {
      if (entry) setTimeout(() => this.#transmit(this.outbox.find(clientId)), AGAIN_AFTER);
      else this.#askAnew();
    } else if (code === "not_found" && conversation) {
      this.#reduce({ type: "local.unfollow", conversation }); // what is gone is not asked for again; the page says so where it is shown
    } else if (entry && "text" in entry.command) {
      this.outbox.refuse(clientId, detail);
    } else if (code === "scope_missing" && !clientId && this.stopping.size === 0) {
      this.typing.giveUp(); // beside a stop, the one thing that is sent without being asked for
    } else {
      if (entry) this.outbox.settle(clientId);
      toast(detail);
    }
    // Only a stop goes without any name: it may be asked for again.
    if (!clientId && !conversation && code !== "unavailable") this.stopping.clear();
  }

  /** Follow and stop once more after a while, once for all that could not be done meanwhile. */
  #askAnew() {
    this.anew ??= setTimeout(() => {
      this.anew = undefined;
      this.#reduce({ type: "ready" });
      this.#stopAgain();
    }, AGAIN_AFTER);
  }

  /** Send a postponed command at the time `again`, unless it was sent or discarded before. */
  #sendAt(clientId, again) {
    setTimeout(() => {
      if (this.outbox.find(clientId)?.again === again) this.resend(clientId);
    }, again - Date.now());
  }

  #sendAgain() {
    for (const entry of this.outbox.unanswered(Date.now())) this.#transmit(entry);
    this.#stopAgain();
  }

  #stopAgain() {
    for (const reply of this.stopping) this.socket.send({ type: "reply.stop", reply });
  }

  /** A question that a snapshot shows is stored, even where its acknowledgement was lost. */
  #settleStored({ messages }) {
    for (const message of messages) if (message.client_id) this.outbox.settle(message.client_id);
  }

  /** What was left stays followed until its reply has ended, so that the list can tell. */
  #leaveWhatIsOver() {
    for (const id of Object.keys(this.state.followed)) {
      const isWanted = id === this.conversation || this.isLiveIn(id) || this.outbox.entries.some((entry) => this.#belongs(entry, id, ""));
      const isKnown = this.state.conversations[id]?.resyncing === false;
      if (!isWanted && isKnown) this.#reduce({ type: "local.unfollow", conversation: id });
    }
  }

  #belongs(entry, conversation, chat) {
    if (entry.chat) return !conversation && entry.chat === chat;
    const { command } = entry;
    if (command.type === "message.send") return command.conversation === conversation;
    const held = this.state.conversations[conversation];
    return Boolean(held?.messages[command.message ?? command.reply]);
  }

  #connected(state) {
    this.connection = state;
    if (state === "signed-out") {
      toast(say("signed-out"), { label: say("sign-in"), run: () => location.assign(document.querySelector("[data-app]").dataset.signIn) });
    }
    for (const listener of this.listeners.connection) listener(state);
    this.#changed();
  }

  #changed() {
    if (this.scheduled) return;
    this.scheduled = true;
    const run = () => {
      this.scheduled = false;
      for (const listener of this.listeners.change) listener();
    };
    // A hidden page gets no frames, and nobody looks: now and then is enough.
    if (document.visibilityState === "visible") requestAnimationFrame(run);
    else setTimeout(run, 250);
  }
}
