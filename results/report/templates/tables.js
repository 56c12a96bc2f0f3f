"use strict";
(() => {
  // A folded table would be missing from paper.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));

  // Tables: sorted by a button in each heading, filtered by text.
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const keyed = [...body.rows].map((row) => {
          const cell = row.cells[column];
          return { row, value: cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v) };
        });
        const empty = (one) => one.value === "–" || one.value === "";
        keyed.sort((one, other) => {
          if (empty(one) !== empty(other)) return empty(one) ? 1 : -1;
          const order = typeof one.value === "number" && typeof other.value === "number"
            ? one.value - other.value : String(one.value).localeCompare(String(other.value), undefined, { numeric: true });
          return down ? -order : order;
        });
        body.append(...keyed.map((one) => one.row));
      });
    });
    if (table.classList.contains("few")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "plain";
      const show = (all) => {
        table.classList.toggle("few", !all);
        button.textContent = all ? "fewer columns" : "more columns";
        button.setAttribute("aria-expanded", String(all));
      };
      button.addEventListener("click", () => show(table.classList.contains("few")));
      show(false);
      table.parentElement.after(button);
    }
    if (body.rows.length > 8) {
      const label = document.createElement("label");
      label.className = "filter";
      const input = document.createElement("input");
      input.type = "search";
      label.append("Only rows with ", input);
      table.parentElement.before(label);
      input.addEventListener("input", () => {
        const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const row of body.rows) {
          const text = row.textContent.toLowerCase();
          row.hidden = !wanted.every((word) => text.includes(word));
        }
      });
    }
  }
})();
