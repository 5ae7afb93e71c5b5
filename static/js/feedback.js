// Thumbs and a comment on a reply.

import { post } from "./http.js";
import { say } from "./strings.js";
import { toast } from "./toast.js";

/** Store `value` (1, -1, or 0 to take it back) and show it. */
export async function sendFeedback(app, message, value, comment = "") {
  const { conversation } = app;
  try {
    const stored = await post(`/m/${message.id}/feedback/`, { value, comment });
    app.dispatch({ type: "local.feedback", conversation, message: message.id, ...stored });
    if (value) toast(say("thanks"));
  } catch (error) {
    toast(error.detail ?? say("network"));
  }
}

/** A thumb down, and a dialog that asks why; closing it without a word is an answer, too. */
export function askForComment(app, message) {
  const dialog = document.querySelector("[data-feedback-dialog]");
  const field = dialog.querySelector("textarea");
  field.value = message.feedback_comment;
  dialog.returnValue = "";
  dialog.addEventListener("close", () => {
    sendFeedback(app, message, -1, dialog.returnValue === "send" ? field.value.trim() : "");
  }, { once: true });
  dialog.showModal();
}
