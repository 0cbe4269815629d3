// The door: shown after signing out, or when the made-up name is refused.
import { $, h } from "./dom.js";
import { S } from "./strings.js";
import { roomId } from "./text.js";

// askName shows the form and answers with { name, room } once enter has
// accepted the name.
export function askName(enter, { name = "", problem = "" } = {}) {
  const form = $("login-form");
  const input = $("login-name");
  $("login").hidden = false;
  $("app").hidden = true;
  input.value = name;
  $("login-error").textContent = problem;
  input.focus();
  return new Promise((resolve) => {
    form.onsubmit = async (e) => {
      e.preventDefault();
      const typed = input.value.trim();
      const room = roomId($("login-room").value);
      if (!typed) return complain(S.nameNeeded);
      $("login-submit").disabled = true;
      try {
        await enter(typed);
        $("login").hidden = true;
        resolve({ name: typed, room });
      } catch (err) {
        complain(err.message);
      } finally {
        $("login-submit").disabled = false;
      }
    };
    const complain = (text) => {
      $("login-error").replaceChildren(h("span", {}, text));
      input.setAttribute("aria-invalid", "true");
      input.focus();
    };
    input.oninput = () => {
      input.removeAttribute("aria-invalid");
      $("login-error").replaceChildren();
    };
  });
}
