"use strict";
// Two pictures on top of each other, and a slider that says where the left one ends. All pictures are taken from the
// table that the page has anyway; without this script, that table is what people look at.
for (const viewer of document.querySelectorAll(".viewer")) {
  const find = (name) => viewer.querySelector(name);
  const table = document.getElementById(viewer.dataset.table);
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  const rows = [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("img")]);
  const [before, after, reveal, said] = [".before", ".after", ".reveal", ".said"].map(find);
  const [left, over] = [find("select"), find(".over")];
  const chosen = (name) => Number(viewer.querySelector(`input[name="${viewer.id}-${name}"]:checked`)?.value ?? 0);
  const put = (image, source) => {
    if (image.src !== source.src) image.src = source.src;
    image.alt = source.alt;
  };
  const draw = () => {
    const [row, one] = [chosen("row"), Number(left?.value ?? 0)];
    const other = over ? Number(over.value) : chosen("right");
    const share = Number(reveal.value);
    put(before, rows[row][one]);
    put(after, rows[row][other]);
    viewer.style.setProperty("--at", `${share}%`);
    find(".tag.left").textContent = names[one];
    find(".tag.right").textContent = names[other];
    reveal.setAttribute("aria-valuetext", `${share}% ${names[one]}, ${100 - share}% ${names[other]}`);
    if (over) {
      over.setAttribute("aria-valuetext", names[other]);
      find("output").textContent = names[other];
    }
    const told = `Picture ${row + 1} of ${rows.length}: on the left ${names[one]}, on the right ${names[other]}.`;
    if (said.textContent !== told) said.textContent = told;
  };
  rows.forEach((row, place) => {
    const [label, input, image] = ["label", "input", "img"].map((tag) => document.createElement(tag));
    Object.assign(input, { type: "radio", name: `${viewer.id}-row`, value: String(place), checked: !place });
    Object.assign(image, { src: row[0].src, alt: row[0].alt, width: row[0].width, height: row[0].height });
    label.append(input, image);
    find(".thumbs").append(label);
  });
  viewer.addEventListener("input", draw);
  draw();
  viewer.hidden = false;
  // What the viewer shows need not be seen twice; on paper it is all there is.
  const all = table.closest("details");
  if (all) {
    all.open = false;
    addEventListener("beforeprint", () => { all.open = true; });
  }
}
