// Dates in the reader's language.

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const date = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "long" });
const dateYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export const time = (at) => clock.format(at);
export const moment = (at) => full.format(at);

// day names a date as people do: today, yesterday, Monday, 3 May.
export function day(at, now = new Date()) {
  const days = daysBetween(at, now);
  if (days === 0 || days === 1) return capital(relative.format(-days, "day"));
  if (days > 1 && days < 7) return weekday.format(at);
  return at.getFullYear() === now.getFullYear() ? date.format(at) : dateYear.format(at);
}

// stamp is the short form for the room list.
export function stamp(at, now = new Date()) {
  return daysBetween(at, now) === 0 ? clock.format(at) : short.format(at);
}

function daysBetween(a, b) {
  const midnight = (d) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
  return Math.round((midnight(b) - midnight(a)) / 86_400_000);
}

function capital(s) {
  return s.charAt(0).toLocaleUpperCase() + s.slice(1);
}

// names joins names in the reader's language, at most three of them.
const list = new Intl.ListFormat(undefined, { type: "conjunction" });
export function names(users, others) {
  const shown = users.slice(0, 3).map((u) => u.name || u.id);
  const rest = users.length - shown.length;
  if (rest > 0) shown.push(others(rest));
  return list.format(shown);
}
