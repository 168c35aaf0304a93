// Counts down every element with `data-until` (milliseconds since the epoch): digits, or words with data-form="words".
// Only elements on the screen are written, so that a page of thousands stays fast.

const texts = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");
const visible = new Set();
let offset = 0;
let observer;

/** The server's clock may differ from the browser's: deadlines are the server's. */
export function setServerTime(milliseconds) {
  offset = milliseconds - Date.now();
}

export function now() {
  return Date.now() + offset;
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

const two = (number) => String(number).padStart(2, "0");

/** As BoardPhrases.duration writes it. */
export function words(milliseconds) {
  const seconds = Math.floor(Math.max(milliseconds, 0) / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (days >= 2) return fill(texts.days_hours, { days, hours: hours % 24 });
  if (hours) return fill(texts.hours_minutes, { hours, minutes: two(minutes % 60) });
  if (minutes) return fill(texts.minutes_only, { minutes });
  return fill(texts.seconds_only, { seconds });
}

/** 12:05, 1:02:05, 3:04:05:06; with a minus sign once it is past. */
export function digits(milliseconds) {
  const past = milliseconds < 0;
  const seconds = Math.floor(Math.abs(milliseconds) / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const text = hours
    ? `${hours}:${two(minutes % 60)}:${two(seconds % 60)}`
    : `${minutes}:${two(seconds % 60)}`;
  return past ? `−${text}` : text;
}

/** How far a clock is: calm, soon once a warning threshold has passed, urgent after the last, late after the deadline. */
export function urgency(element, at) {
  const until = Number(element.dataset.until);
  if (at >= until) return "late";
  const thresholds = (element.dataset.warn ?? "").split(" ").filter(Boolean).map(Number);
  const passed = thresholds.filter((threshold) => at >= threshold).length;
  if (!passed) return "calm";
  return passed === thresholds.length ? "urgent" : "soon";
}

function write(element, at) {
  const left = Number(element.dataset.until) - at;
  let text;
  if (element.dataset.form === "words") {
    text = fill(left >= 0 ? texts.in_time : texts.time_ago, { time: words(Math.abs(left)) });
  } else {
    text = digits(left);
  }
  if (element.textContent !== text) element.textContent = text;
  const toned = element.closest("[data-urgency]");
  if (toned && "warn" in element.dataset) {
    const tone = urgency(element, at);
    if (toned.dataset.urgency !== tone) toned.dataset.urgency = tone;
  }
  const gauge = element.dataset.since && toned?.querySelector(".gauge .fill");
  if (gauge) {
    const since = Number(element.dataset.since);
    const share = Math.min(Math.max((at - since) / (Number(element.dataset.until) - since), 0), 1);
    gauge.setAttribute("width", (share * 100).toFixed(1));
  }
}

function tick() {
  const at = now();
  for (const element of visible) {
    if (element.isConnected) write(element, at);
    else visible.delete(element);
  }
}

/** Finds the countdowns within an element; call it for content that was added. */
export function watchCountdowns(root = document) {
  for (const element of root.querySelectorAll("[data-until]")) observer.observe(element);
}

export function startCountdowns() {
  const sent = document.querySelector("[data-server-time]");
  if (sent) setServerTime(Number(sent.dataset.serverTime));
  observer = new IntersectionObserver((entries) => {
    const at = now();
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) {
        visible.delete(target);
        continue;
      }
      visible.add(target);
      write(target, at);
    }
  });
  watchCountdowns();
  document.addEventListener("htmx:after:swap", () => watchCountdowns());
  // On the second of the clock, so that all countdowns change together.
  const onTheSecond = () => {
    tick();
    setTimeout(onTheSecond, 1000 - (now() % 1000));
  };
  onTheSecond();
}
