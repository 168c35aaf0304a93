// "/" focuses the search field; j and k select rows of [data-rows]; Enter opens; "?" shows the help.

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");

function rows() {
  return [...document.querySelectorAll("[data-rows] [data-row]")];
}

function select(step) {
  const all = rows();
  if (!all.length) return;
  const present = all.findIndex((row) => row.hasAttribute("data-selected"));
  const next = Math.min(Math.max(present + step, 0), all.length - 1);
  all[present]?.removeAttribute("data-selected");
  const row = all[next];
  row.setAttribute("data-selected", "");
  row.querySelector("a[href]")?.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function toggle(dialog) {
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const help = document.getElementById("shortcuts");
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "?") toggle(help);
  else if (help.open) return;
  else if (event.key === "/") document.querySelector("[data-search]")?.focus();
  else if (event.key === "j" || event.key === "ArrowDown") select(1);
  else if (event.key === "k" || event.key === "ArrowUp") select(-1);
  else if (event.key === "Enter" && event.target === document.body) {
    document.querySelector("[data-selected] a[href]")?.click();
    return;
  } else return;
  if (event.key.startsWith("Arrow") && !rows().length) return;
  event.preventDefault();
}

export function startKeyboard() {
  document.addEventListener("keydown", pressed);
  document.addEventListener("click", (event) => {
    const opener = event.target.closest?.("[data-opens]");
    if (opener) toggle(document.getElementById(opener.dataset.opens));
  });
}
