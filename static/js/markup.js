// Markup that the server wrote once for both sides: <template data-template="name">.

/** A fresh copy of the template's first element. */
export function cloneTemplate(name) {
  const template = document.querySelector(`template[data-template="${name}"]`);
  return template.content.firstElementChild.cloneNode(true);
}
