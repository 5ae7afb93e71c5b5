// What is written and not sent, kept in this browser for each person and conversation.

const PREFIX = "nono:draft:";

function key(user, conversation) {
  return `${PREFIX}${user}:${conversation || "new"}`;
}

export function readDraft(user, conversation) {
  try {
    return localStorage.getItem(key(user, conversation)) ?? "";
  } catch {
    return "";
  }
}

export function keepDraft(user, conversation, text) {
  try {
    if (text) localStorage.setItem(key(user, conversation), text);
    else localStorage.removeItem(key(user, conversation));
  } catch {
    // Full or forbidden: the text still stands in its field.
  }
}

/** Forget everything a person wrote in this browser, as they leave it. */
export function forgetWriting() {
  try {
    sessionStorage.clear();
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith(PREFIX)) localStorage.removeItem(name);
    }
  } catch {
    // Nothing was kept where nothing can be.
  }
}
