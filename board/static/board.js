// What every page runs: the viewer's time zone, keyboard, countdowns.
import { startCountdowns } from "./countdown.js";
import { startKeyboard } from "./keyboard.js";

// The server renders times in the zone of this cookie; the first visit shows UTC until the page is loaded once more.
function tellZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || document.documentElement.dataset.zone === zone) return;
  if (!/^[\w+/-]+$/.test(zone)) return;
  const value = `board_zone=${zone}`;
  if (document.cookie.split("; ").includes(value)) return;
  document.cookie = `${value}; path=/; max-age=31536000; samesite=lax`;
  if (document.cookie.split("; ").includes(value)) location.reload();
}

tellZone();
startKeyboard();
startCountdowns();
