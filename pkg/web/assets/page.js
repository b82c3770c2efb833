// What the pages do better with a script: copy, filter while typing, ask again, and show the time
// where the reader is. Every page works without it.
"use strict";

const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));
const say = (text) => { document.getElementById("spoken").textContent = text; };

// Copying. The buttons are hidden without a script, because they would do nothing.
for (const button of all("[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  const label = button.firstChild;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = source.value ?? source.textContent;
    let copied = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      if (source.select) source.select();
      else getSelection().selectAllChildren(source);
      copied = document.execCommand("copy"); // for pages without a secure context
    }
    const before = label.textContent;
    say("");
    requestAnimationFrame(() => say(copied ? button.dataset.said : "Copying does not work here. The text is selected."));
    if (!copied || before === "Copied") return;
    label.textContent = "Copied";
    setTimeout(() => { label.textContent = before; }, 2000);
  });
}
for (const field of all("[data-select]")) field.addEventListener("focus", () => field.select());

// Times. The server writes UTC; here they are where the reader is.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const inUTC = zone === "UTC" || zone === "Etc/UTC";
const digits = new Intl.DateTimeFormat("sv-SE", {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
});
const name = (at) => new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts(at)
  .find((part) => part.type === "timeZoneName").value;
const local = (at) => `${digits.format(at)} ${name(at)}`;
if (!inUTC) {
  for (const time of all("time[datetime*='T']")) {
    const at = new Date(time.dateTime);
    const utc = `${time.dateTime.slice(0, 10)} ${time.dateTime.slice(11, 16)} UTC`;
    if (time.dataset.exact === undefined) {
      time.title = `${local(at)}, ${utc}`;
    } else {
      time.textContent = local(at);
      time.title = utc;
    }
  }
  for (const place of all("[data-local]")) {
    place.textContent = `that is ${local(new Date(place.dataset.local))} where you are`;
  }
  for (const place of all("[data-zone]")) place.textContent = `your time zone, ${zone}`;
}

// Filtering while typing. The server looks through all pages, this only through the shown one.
for (const field of all("[data-filter]")) {
  const list = document.getElementById(field.dataset.filter);
  if (!list) continue;
  const rows = all("tbody tr", list);
  const nothing = document.querySelector("[data-nothing]");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.cells[0].textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) shown++;
    }
    list.hidden = shown === 0;
    nothing.hidden = shown > 0;
    say(shown === 1 ? "1 token" : `${shown} tokens`);
  });
}

// A complaint goes when what it is about changes.
for (const text of all("p.wrong")) {
  const field = text.parentElement;
  field.addEventListener("input", () => {
    text.textContent = ""; // hidden alone, it would still be read out
    text.hidden = true;
    for (const input of all("[aria-invalid]", field)) input.removeAttribute("aria-invalid");
  });
}

// The line before the button follows the form.
for (const form of all("form[data-summary]")) {
  const line = document.getElementById("summary");
  const day = form.elements.expires_on;
  const write = () => {
    const as = form.querySelector("[name=access_level]:checked")?.dataset.as ?? line.dataset.as;
    const scopes = all('[name="scopes[]"]:checked', form).map((box) => box.value);
    const choice = form.querySelector("[name=expires]:checked");
    let until = "until the day that you choose above";
    if (choice?.dataset.end) until = `until ${choice.dataset.end.slice(0, 10)} at 00:00 UTC`;
    else if (choice?.value === "never") until = "until somebody revokes it";
    else if (day.value) until = `until ${day.value} at 00:00 UTC`;
    line.textContent = scopes.length === 0
      ? `${as}, the token will be able to do nothing yet. Choose at least one scope.`
      : `${as}, the token will be able to do this: ${scopes.join(", ")}. It works ${until}.`;
  };
  form.addEventListener("change", write);
  write();
}
// Asking again, before the request leaves.
for (const field of all("[data-must]")) {
  field.addEventListener("input", () => field.setCustomValidity(""));
  field.form.addEventListener("submit", (event) => {
    const given = field.value.trim().replace(/^@/, "").toLowerCase();
    if (given === field.dataset.must.toLowerCase()) return;
    event.preventDefault();
    field.setCustomValidity(field.dataset.wrong ?? "This is not your username. Nothing was revoked.");
    field.reportValidity();
  });
}
