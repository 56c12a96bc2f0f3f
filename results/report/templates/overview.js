"use strict";
// The first screen: prices sort the steps, a target looks up the images that it takes.
(() => {
  const table = document.getElementById("levers");
  if (table) {
    const form = table.parentElement.querySelector("form");
    const body = table.tBodies[0];
    const first = [...body.rows];
    const figure = (amount) => amount.toLocaleString("en", amount < 1 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 2 });
    const reckon = () => {
      const price = (name) => form.elements[name].value === "" ? null : Number(form.elements[name].value);
      const label = price("label"), hour = price("hour");
      memory.set("price label", form.elements.label.value);
      memory.set("price hour", form.elements.hour.value);
      const asked = label !== null || hour !== null;
      const costed = first.map((row, place) => {
        const { points, images, hours } = row.dataset;
        const parts = [[Number(images), label], [Number(hours), hour]].filter(([amount]) => amount > 0);
        const known = parts.every(([, each]) => each !== null);
        const money = known ? parts.reduce((sum, [amount, each]) => sum + amount * each, 0) : null;
        const each = money !== null && points > 0 ? money / points : Infinity;
        row.querySelector(".money").textContent = !asked ? "" : money === null ? "no price" : money === 0 ? "free"
          : `costs ${figure(money)}` + (points > 0 ? `, ${figure(each)} a point` : "");
        return { row, each, place };
      });
      if (asked) costed.sort((one, other) => one.each === other.each ? one.place - other.place : one.each - other.each);
      body.append(...costed.map((one) => one.row));
    };
    for (const name of ["label", "hour"]) {
      const kept = memory.get("price " + name);
      form.elements[name].value = kept === undefined ? form.dataset[name] || "" : kept;
    }
    form.addEventListener("input", reckon);
    form.addEventListener("submit", (event) => event.preventDefault());
    reckon();
  }
  const slider = document.getElementById("target");
  if (!slider) return;
  const { targets } = JSON.parse(document.getElementById("report-data").textContent);
  const plot = document.getElementById("by-data"), line = document.getElementById("target-line"), said = document.getElementById("target-said");
  const show = () => {
    const place = Number(slider.value);
    const accuracy = targets.accuracies[place];
    line.style.top = targets.tops[place] + "%";
    slider.setAttribute("aria-valuetext", accuracy + " %");
    said.replaceChildren();
    const head = document.createElement("strong");
    head.textContent = accuracy.toFixed(1) + " % takes";
    said.append(head);
    targets.texts[place].forEach((text, index) => {
      const row = document.createElement("span"), mark = document.createElement("i");
      mark.className = "c" + index;
      mark.textContent = "●■▲◆▼✚★▶"[index] + " ";
      row.append(mark, text || "no forecast");
      said.append(row);
    });
  };
  const kept = memory.get("target");
  slider.value = kept === undefined ? targets.first : kept;
  slider.addEventListener("input", () => { memory.set("target", slider.value); show(); });
  const drag = (event) => {
    if (event.buttons !== 1) return;
    const box = plot.getBoundingClientRect();
    const top = 100 * (event.clientY - box.top) / box.height;
    const near = targets.tops.reduce((best, one, place) => Math.abs(one - top) < Math.abs(targets.tops[best] - top) ? place : best, 0);
    slider.value = near;
    slider.dispatchEvent(new Event("input"));
    event.preventDefault();
  };
  plot.addEventListener("pointerdown", drag);
  plot.addEventListener("pointermove", drag);
  show();
})();
