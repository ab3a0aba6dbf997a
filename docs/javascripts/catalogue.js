// Adds a search field above the table of the catalogue. Without scripts, the table shows everything.
(function () {
  const area = document.querySelector(".catalogue");
  if (!area) return;
  const rows = Array.from(area.querySelectorAll("tbody tr"));
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "Search: a name, a kind, an option, an author, a licence";
  field.setAttribute("aria-label", "Search the catalogue");
  const count = document.createElement("p");
  count.setAttribute("role", "status");

  function show() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, place) => {
      const found = words.every((word) => texts[place].includes(word));
      row.hidden = !found;
      shown += found ? 1 : 0;
    });
    count.textContent = `${shown} of ${rows.length} components`;
    const hash = field.value ? `#search=${encodeURIComponent(field.value)}` : "";
    if (hash || location.hash.startsWith("#search=")) {
      history.replaceState(null, "", location.pathname + location.search + hash);
    }
  }

  field.addEventListener("input", show);
  const linked = location.hash.startsWith("#search=");
  if (linked) field.value = decodeURIComponent(location.hash.slice("#search=".length));
  area.prepend(field, count);
  show();
  // A link with a search shows what was found. The table of distributions may be long.
  if (linked) area.scrollIntoView();
})();
