// The messages of what is shown: keeps the page's elements equal to the state, and does what their buttons say.

import { announce } from "./announce.js";
import { copyText } from "./copy.js";
import { openEditor } from "./editor.js";
import { askForComment, sendFeedback } from "./feedback.js";
import { getJson, post } from "./http.js";
import { itemsToShow } from "./items.js";
import { createMessage, finish, queuedText, showMessage } from "./message.js";
import { isLive } from "./protocol.js";
import { saySources } from "./sources.js";
import { say } from "./strings.js";
import { showTime } from "./times.js";
import { toast } from "./toast.js";

export class Transcript {
  /** `root` holds the messages; `persona()` says who replies. */
  constructor(root, app, scroll, persona) {
    this.root = root;
    this.app = app;
    this.scroll = scroll;
    this.persona = persona;
    this.statuses = new Map();
    this.places = new Map(); // the position in line that was last announced
    this.begun = new Set(); // replies that were heard to begin: one may be over before it was ever drawn
    this.early = null; // what was pressed before the first snapshot was here
    for (const element of root.children) this.#adopt(element);
    root.addEventListener("click", (event) => this.#clicked(event));
    this.forget = app.on("event", (event) => this.#heard(event));
  }

  close() {
    this.forget();
  }

  #heard({ type, conversation, reply }) {
    if (type !== "message.accepted" || conversation.id !== this.app.conversation) return;
    if (!this.statuses.has(reply.client_id || reply.id)) this.begun.add(reply.id);
  }

  /** Show the state as it is now. */
  show() {
    const { app } = this;
    const items = itemsToShow(app.messages, app.pending);
    if (app.conversation && !app.info) {
      this.#showBehind(items);
      return;
    }
    const focus = this.#rememberFocus();
    this.#sync(items);
    this.root.classList.toggle("is-busy", app.isBusy);
    this.#restoreFocus(focus);
    this.#announce(items);
    this.scroll.keep();
    this.#doEarly();
  }

  async loadEarlier() {
    const { conversation } = this.app;
    if (conversation && !this.app.info) this.early = () => this.loadEarlier();
    const first = this.app.messages[0]?.id;
    if (!first) return;
    try {
      const { messages, more } = await getJson(`/c/${conversation}/messages/?before=${first}`);
      await this.scroll.holding(() => {
        this.app.dispatch({ type: "local.earlier", conversation, messages, more });
        this.show();
      });
    } catch (error) {
      toast(error.detail ?? say("network"));
    }
  }

  /** Open the last question for editing; false where there is none. */
  editLast() {
    const element = [...this.root.querySelectorAll('[data-role="user"]')].at(-1);
    if (!element || this.app.isBusy) return false;
    this.#edit(element);
    return true;
  }

  lastReply() {
    return this.app.messages.findLast((message) => message.role === "assistant" && message.text);
  }

  // --- elements -----------------------------------------------------------------------------------------------------

  #adopt(element) {
    finish(element);
    for (const time of element.querySelectorAll("time[datetime]:not([datetime=''])")) showTime(time, time.dateTime);
  }

  #sync(items) {
    const { app, root } = this;
    const held = new Map();
    for (const element of root.children) held.set(element.dataset.key, element);
    let next = root.firstElementChild;
    items.forEach((item, index) => {
      const element = held.get(item.key) ?? createMessage(item.message.role, this.persona());
      held.delete(item.key);
      element.dataset.key = item.key;
      const isStopping = app.stopping.has(item.message.id);
      showMessage(element, item, { isLast: index === items.length - 1, isStopping, isOnline: app.socket.isOpen });
      if (element === next) next = next.nextElementSibling;
      else root.insertBefore(element, next);
    });
    for (const element of held.values()) element.remove();
  }

  /** Until the first snapshot is here, the server's own page stands, and behind it what is not sent yet. */
  #showBehind(items) {
    for (const element of this.root.querySelectorAll(".is-pending")) element.remove();
    const context = { isLast: true, isStopping: false, isOnline: this.app.socket.isOpen };
    for (const item of items) {
      const element = createMessage(item.message.role, this.persona());
      element.dataset.key = item.key;
      showMessage(element, item, context);
      this.root.append(element);
    }
  }

  #rememberFocus() {
    const focused = document.activeElement;
    const element = focused?.closest?.("[data-message]");
    if (!element || !this.root.contains(element)) return null;
    return { index: [...this.root.children].indexOf(element), action: focused.dataset.action };
  }

  /** Where the focused button went with its message, its counterpart in the one that took the place gets the focus. */
  #restoreFocus(focus) {
    if (!focus || document.activeElement !== document.body) return;
    const element = this.root.children[focus.index];
    const buttons = [focus.action, "previous", "next", "copy"].map((name) => element?.querySelector(`[data-action="${name}"]`));
    const target = buttons.find((button) => button && !button.disabled && button.getClientRects().length > 0);
    (target ?? document.querySelector("[data-text]"))?.focus({ preventScroll: true });
  }

  /** Tell a screen reader, once each, that a reply began and what it was in the end. */
  #announce(items) {
    const before = this.statuses;
    this.statuses = new Map();
    for (const { key, message } of items) {
      if (message.role !== "assistant") continue;
      const status = isLive(message) ? "live" : message.status;
      this.statuses.set(key, status);
      const { name } = this.persona();
      if (status === "live" && before.size > 0 && !before.has(key)) announce(say("answering", { name }));
      if (message.status === "queued") this.#announcePlace(key, message);
      const hasEnded = status !== "live" && (before.get(key) === "live" || this.begun.has(message.id));
      if (status !== "live") this.begun.delete(message.id);
      if (hasEnded) this.#announceEnd(key, name, message);
    }
  }

  /** Where a reply stands in line: when that is first known, and then each time that half of the way is behind it. */
  #announcePlace(key, message) {
    if (!message.position || message.position > (this.places.get(key) ?? Infinity) / 2) return;
    this.places.set(key, message.position);
    announce(queuedText(message));
  }

  #announceEnd(key, name, message) {
    const element = [...this.root.children].find((each) => each.dataset.key === key);
    const text = element.querySelector("[data-body]").innerText.trim();
    const state = element.querySelector("[data-state]:not([hidden]) [data-state-text]")?.textContent ?? "";
    announce([text && say("replied", { name, text }), saySources(message), state].filter(Boolean).join(" "));
  }

  // --- what the buttons do --------------------------------------------------------------------------------------------

  #clicked(event) {
    const copyCode = event.target.closest("[data-copy-code]");
    if (copyCode) {
      copyText(copyCode.parentElement.querySelector("pre").textContent, copyCode);
      return;
    }
    const button = event.target.closest("[data-action]");
    const element = button?.closest("[data-message]");
    if (!element) return;
    const message = this.app.messages.find((each) => each.id === element.dataset.message);
    this.#do(button.dataset.action, element, message, button);
  }

  #do(action, element, message, button) {
    const { app } = this;
    const key = element.dataset.key;
    switch (action) {
      case "copy":
        return copyText(message?.text ?? element.querySelector("[data-body]").innerText, button);
      case "resend":
        return app.resend(key);
      case "discard":
        return app.discard(key);
    }
    if (!message) {
      if (!app.info) this.early = () => this.#press(action, element.dataset.message);
      return undefined;
    }
    switch (action) {
      case "edit":
        return app.isBusy ? undefined : this.#edit(element);
      case "rephrase":
        return app.isBusy ? undefined : this.#edit(element.previousElementSibling);
      case "handover":
        return this.#askForPerson(message);
      case "regenerate":
      case "retry":
        return app.isBusy ? undefined : app.regenerate(message.id);
      case "continue":
        return app.isBusy ? undefined : app.goOn(message.id);
      case "previous":
      case "next":
        return this.#branch(message, action === "next" ? 1 : -1);
      case "good":
        return sendFeedback(app, message, message.feedback === 1 ? 0 : 1);
      case "bad":
        return message.feedback === -1 ? sendFeedback(app, message, 0) : askForComment(app, message);
    }
    return undefined;
  }

  /** The page stood before what it stands for was known: nothing that was pressed meanwhile is lost. */
  #doEarly() {
    const { early } = this;
    this.early = null;
    early?.();
  }

  #press(action, id) {
    const button = this.root.querySelector(`[data-message="${CSS.escape(id)}"] [data-action="${action}"]`);
    if (button && !button.disabled) button.click();
  }

  #edit(element) {
    const message = this.app.messages.find((each) => each.id === element.dataset.message);
    if (message) openEditor(element, message.text, (text) => this.app.edit(message.id, text));
  }

  async #branch(message, step) {
    const target = message.siblings[message.siblings.indexOf(message.id) + step];
    if (target) await this.#change(`/c/${this.app.conversation}/branch/`, { message: target });
  }

  async #askForPerson(message) {
    if (await this.#change(`/m/${message.id}/person/`, {})) announce(say("handed"));
  }

  /** Have the server change the conversation, and show what became of it; false where it did not. */
  async #change(url, fields) {
    try {
      const { conversation } = await post(url, fields);
      this.app.dispatch({ type: "conversation.updated", conversation, client_id: "" });
      return true;
    } catch (error) {
      toast(error.detail ?? say("network"));
      return false;
    }
  }
}
