// Commands that the server has not yet answered. Each keeps the client_id it was made with, so that sending it again,
// after a break or a reload, is harmless: the server stores it once. Kept per tab.

const KEY = "nono:outbox";

/** A random name for a command or a new chat. Pages without TLS have no crypto.randomUUID. */
export function newName() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
  /** `storage` is the tab's sessionStorage, `user` whose commands these are; another's are dropped. */
  constructor(storage, user) {
    this.storage = storage;
    this.user = user;
    this.entries = this.#load();
  }

  /** Keep `command` until it is answered. `chat` names the new chat that it starts. */
  add(command, chat = "") {
    const entry = { command: { ...command, client_id: newName() }, chat, refused: "" };
    this.#save([...this.entries, entry]);
    return entry;
  }

  find(clientId) {
    return this.entries.find((entry) => entry.command.client_id === clientId);
  }

  /** Those to be sent (again) at the time `now`, in the order in which they were made. */
  unanswered(now) {
    return this.entries.filter((entry) => !entry.refused && !(entry.again > now));
  }

  /** The server has too much to do: it waits, with `detail` for the person, to be sent again at the time `again`. */
  postpone(clientId, detail, again) {
    this.#change(clientId, { again, busy: detail });
  }

  /** The server has answered: forget it. */
  settle(clientId) {
    if (this.find(clientId)) this.#save(this.entries.filter((entry) => entry.command.client_id !== clientId));
  }

  /** The server refused it, with `detail` for the person; it waits for them to send it again or discard it. */
  refuse(clientId, detail) {
    this.#change(clientId, { refused: detail });
  }

  retry(clientId) {
    this.#change(clientId, { refused: "", again: 0, busy: "" });
    return this.find(clientId);
  }

  #change(clientId, fields) {
    this.#save(this.entries.map((entry) => (entry.command.client_id === clientId ? { ...entry, ...fields } : entry)));
  }

  #save(entries) {
    this.entries = entries;
    try {
      this.storage.setItem(KEY, JSON.stringify({ user: this.user, entries }));
    } catch {
      // Full or forbidden: it holds as long as the page.
    }
  }

  #load() {
    try {
      const kept = JSON.parse(this.storage.getItem(KEY));
      return kept?.user === this.user && Array.isArray(kept.entries) ? kept.entries : [];
    } catch {
      return [];
    }
  }
}
