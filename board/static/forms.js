// Forms of actions whose answer is no form: what was typed stays, and the reason is shown above it.
const texts = JSON.parse(document.getElementById("texts").textContent);
const isAction = (ctx) => ctx?.sourceElement?.matches?.("#actions form") ?? false;

function show(...lines) {
  const note = document.createElement("div");
  note.className = "note danger";
  for (const line of lines) {
    const paragraph = document.createElement("p");
    paragraph.textContent = line;
    note.append(paragraph);
  }
  document.getElementById("action-result")?.replaceChildren(note);
  note.scrollIntoView({ block: "nearest" });
}

/** An error page of the board says what is wrong; what stands before the board has pages of its own. */
function reasons(text, status) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const found = [...page.querySelectorAll("section.error :is(h1, h1 + p, pre)")].map((each) => each.textContent);
  return found.length ? found : [texts.no_answer, `HTTP ${status}`];
}

export function startForms() {
  document.addEventListener("htmx:after:request", (event) => {
    const { ctx } = event.detail;
    if (!isAction(ctx) || ctx.text.includes('id="actions"')) return;
    event.preventDefault(); // the answer would take the place of the form
    show(...reasons(ctx.text, ctx.response.status), texts.typed_stays);
  });
  document.addEventListener("htmx:error", ({ detail }) => {
    if (isAction(detail.ctx)) show(texts.no_answer, texts.typed_stays);
  });
}
