// The server writes times in the zone of a cookie. This runs before anything is drawn: on the first visit it sets the
// cookie and loads the page again, so that nobody sees times of another zone first.
(function tellZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || !/^[\w+/-]+$/.test(zone) || document.documentElement.dataset.zone === zone) return;
  const value = `board_zone=${zone}`;
  const known = () => document.cookie.split("; ").includes(value);
  if (known()) return; // a zone that the server does not know: times stay in UTC
  document.cookie = `${value}; path=/; max-age=31536000; samesite=lax`;
  if (!known()) return; // no cookies here
  document.documentElement.hidden = true;
  location.reload();
})();
