"use strict";
// Test images that two chosen cells differ on.
(() => {
  const box = document.getElementById("disputed");
  const { disputed } = JSON.parse(document.getElementById("report-data").textContent);
  if (!box || !disputed) return;
  const selects = [...box.querySelectorAll("select")];
  const lists = [...box.querySelectorAll("ul")], counts = [...box.querySelectorAll("output")];
  const show = () => {
    const [first, second] = selects.map((one) => disputed.right[one.value]);
    for (const [side, own, other] of [[0, first, second], [1, second, first]]) {
      const shown = disputed.images.filter((_, place) => own[place] === "1" && other[place] === "0");
      counts[side].textContent = "only " + disputed.cells[selects[side].value] + " is right: " + shown.length;
      lists[side].replaceChildren(...shown.map(([name, place, picture]) => {
        const item = document.createElement("li"), text = document.createElement("span");
        if (picture) {
          const image = document.createElement("img");
          image.src = picture;
          image.alt = "";
          item.append(image);
        }
        text.textContent = name;
        item.title = place;
        item.append(text);
        return item;
      }));
    }
  };
  selects.forEach((select, side) => {
    disputed.cells.forEach((name, place) => select.add(new Option(name, place)));
    const kept = memory.get("disputed " + side);
    select.value = kept < disputed.cells.length ? kept : disputed.chosen[side];
    select.addEventListener("change", () => { memory.set("disputed " + side, select.value); show(); });
  });
  show();
})();
