// What is made of text that others wrote. Pure; everything returns strings or
// plain objects that the page puts into text nodes.

const MAX_LINKS = 50;
const TRAILING = `.,;:!?'"*_~`;

// parts splits text into { text } and { text, href } in one pass from left to
// right. Only https becomes a link. No regular expressions: what a stranger
// wrote must not be able to keep the page busy.
export function parts(text) {
  const out = [];
  let from = 0;
  let links = 0;
  let at = text.indexOf("https://");
  while (at >= 0 && links < MAX_LINKS) {
    const end = linkEnd(text, at);
    const href = end > at + 8 && !wordBefore(text, at) ? safeHref(text.slice(at, end)) : "";
    if (href) {
      if (at > from) out.push({ text: text.slice(from, at) });
      out.push({ text: text.slice(at, end), href });
      from = end;
      links++;
    }
    at = text.indexOf("https://", Math.max(end, at + 8));
  }
  if (from < text.length) out.push({ text: text.slice(from) });
  return out;
}

function wordBefore(text, at) {
  return at > 0 && /[\p{L}\p{N}]/u.test(text[at - 1]);
}

// linkEnd finds where a link ends: at white space or a quoting character, and
// before punctuation that belongs to the sentence, where a closing bracket
// counts as such unless the link has opened it.
function linkEnd(text, start) {
  let end = start;
  let open = 0;
  while (end < text.length) {
    const c = text[end];
    if (c <= " " || c === "<" || c === ">" || c === "`" || c === "\u00a0" || c === "\u2028" || c === "\u2029") break;
    if (c === "(") open++;
    if (c === ")" && --open < 0) break;
    end++;
  }
  while (end > start && TRAILING.includes(text[end - 1])) end--;
  return end;
}

function safeHref(s) {
  try {
    const url = new URL(s);
    return url.protocol === "https:" && url.hostname && !url.username && !url.password ? url.href : "";
  } catch {
    return "";
  }
}

// visible reports whether there is anything to be seen of a text: the server refuses
// messages without, such as zero width spaces, fillers or marks on nothing.
export function visible(text) {
  return /[^\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{M}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\u2800\ufffc\u{13441}\u{13442}\u{1d159}]/u.test(text);
}

// long reports whether a text would push everything else off the screen.
export function long(text) {
  let lines = 0;
  for (let at = text.indexOf("\n"); at >= 0 && lines < 24; at = text.indexOf("\n", at + 1)) lines++;
  return lines >= 24 || text.length > 2400;
}

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

// initials are one or two letters for an avatar.
export function initials(name) {
  const all = name.trim().split(/\s+/u).filter(Boolean);
  const named = all.filter((w) => !/^\d/.test(w)); // the 7 of "Jade Gecko 7" is no surname
  const words = named.length ? named : all;
  const first = (w) => (w ? [...graphemes.segment(w)][0].segment.toUpperCase() : "");
  return words.length > 1 ? first(words[0]) + first(words[words.length - 1]) : first(words[0]) || "?";
}

// Hues that are pleasant and easy to tell apart; dark yellow is neither.
const HUES = [10, 35, 60, 135, 160, 185, 210, 235, 260, 285, 310, 340];

// hue is a stable colour of a user: the same id, the same hue, everywhere.
export function hue(id) {
  let h = 2166136261;
  for (let i = 0; i < id.length; i++) h = Math.imul(h ^ id.charCodeAt(i), 16777619) >>> 0;
  h = Math.imul(h ^ (h >>> 15), 2246822519) >>> 0;
  h = (h ^ (h >>> 13)) >>> 0;
  return HUES[h % HUES.length];
}

// onlyEmoji: a message of a few emoji and nothing else is shown large.
export function onlyEmoji(text) {
  if (text.length > 60) return false;
  const all = [...graphemes.segment(text.trim())];
  return all.length > 0 && all.length <= 5 && all.every((g) => /\p{Extended_Pictographic}|\p{Regional_Indicator}/u.test(g.segment));
}

// roomId turns what somebody typed into a room's id; empty if nothing is left.
export function roomId(typed) {
  return typed.trim().toLowerCase().replace(/^#+/, "").replace(/\s+/g, "-").replace(/[^a-z0-9_.-]/g, "").replace(/^\.+/, "").slice(0, 64);
}

const COLOURS = ["amber", "azure", "coral", "cobalt", "copper", "fern", "indigo", "jade", "lilac", "mint", "olive", "pearl", "ruby", "saffron", "teal", "violet"];
const ANIMALS = ["Badger", "Crane", "Dolphin", "Falcon", "Fox", "Gecko", "Heron", "Ibis", "Koala", "Lynx", "Marten", "Otter", "Panda", "Puffin", "Raven", "Robin", "Seal", "Tapir", "Wren", "Yak"];

// madeUpName greets somebody who has not said who they are.
export function madeUpName(random = Math.random) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const colour = pick(COLOURS);
  return `${colour[0].toUpperCase()}${colour.slice(1)} ${pick(ANIMALS)} ${10 + Math.floor(random() * 90)}`;
}
