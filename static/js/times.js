// Times in the reader's own zone and language: the time alone today, the date with it otherwise.

const language = document.documentElement.lang || undefined;
const time = new Intl.DateTimeFormat(language, { hour: "numeric", minute: "2-digit" });
const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
const year = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", year: "numeric" });
const whole = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" });

/** Write the moment `iso` into a <time> element. */
export function showTime(element, iso) {
  const moment = new Date(iso);
  if (Number.isNaN(moment.getTime())) return;
  const now = new Date();
  const isToday = moment.toDateString() === now.toDateString();
  const format = isToday ? time : moment.getFullYear() === now.getFullYear() ? day : year;
  element.dateTime = iso;
  element.textContent = format.format(moment);
  element.title = whole.format(moment);
}
