// The chat page: puts its parts together.

import { ChatApp } from "./app.js";
import { ConversationList } from "./list.js";
import { ConversationMenu } from "./conversation-menu.js";
import { copyText } from "./copy.js";
import { Navigation } from "./navigation.js";
import { mountNotices } from "./notice.js";
import { Panel } from "./panel.js";
import { copyLastCode, mountShortcuts } from "./shortcuts.js";
import { Sidebar } from "./sidebar.js";
import { say } from "./strings.js";
import { toast } from "./toast.js";

const root = document.querySelector("[data-app]");
const { user, socket, home } = root.dataset;
const url = new URL(socket, location.href);
url.protocol = url.protocol.replace("http", "ws");

const app = new ChatApp({ user, url: url.href });
const main = root.querySelector("[data-main]");
const sidebar = new Sidebar(root.querySelector("[data-sidebar]"));
const list = new ConversationList(root.querySelector("[data-sidebar]"), app);
let panel = new Panel(main.querySelector("[data-panel]"), app);

const navigation = new Navigation(main, (element) => {
  panel.close();
  panel = new Panel(element, app);
  sidebar.close();
  if (matchMedia("(hover: hover)").matches) panel.composer.focus();
});

app.on("started", (info) => {
  panel.started(info);
  navigation.rename(`/c/${info.id}/`);
});

app.on("event", ({ type, conversation, code }) => {
  const isGone = type === "conversation.updated" && conversation.deleted && conversation.id === app.conversation;
  const isAbsent = type === "error" && code === "not_found" && conversation && conversation === app.conversation;
  if (isAbsent) toast(say("deleted-elsewhere"));
  if (isGone || isAbsent) navigation.go(home);
});

new ConversationMenu(app, (id) => {
  const info = app.state.conversations[id]?.info;
  return info ?? list.lookUp(id);
});

mountNotices(main, { onGone: () => panel.composer.focus() });

const help = document.querySelector("[data-help-dialog]");
document.addEventListener("click", (event) => event.target.closest("[data-help]") && help.showModal());

mountShortcuts({
  stop: () => app.stop(),
  focusComposer: () => panel.composer.focus(),
  newChat: () => navigation.go(home),
  search: () => {
    const opener = document.querySelector("[data-sidebar-open]");
    if (opener?.getClientRects().length) sidebar.open(opener);
    list.search.focus();
  },
  copyCode: copyLastCode,
  copyReply: () => {
    const reply = panel.transcript.lastReply();
    if (reply) copyText(reply.text);
  },
  help: () => help.showModal(),
});

app.start();
if (matchMedia("(hover: hover)").matches) panel.composer.focus();
