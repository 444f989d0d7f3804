const table = document.querySelector("table");
const rows = [...table.tBodies[0].rows];

for (const [column, button] of table.querySelectorAll("th button").entries()) {
  const value = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
  const compare = new Intl.Collator(undefined, { numeric: true }).compare;
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const order = head.ariaSort === "descending" ? "ascending" : "descending";
    for (const other of head.parentElement.cells) other.ariaSort = null;
    head.ariaSort = order;
    rows.sort((a, b) => (order === "ascending" ? 1 : -1) * compare(value(a), value(b)));
    table.tBodies[0].append(...rows);
  });
}

document.querySelector("input").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase().split(/\s+/);
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !wanted.every((word) => text.includes(word));
  }
});

const picture = document.querySelector("figure svg");
for (const node of picture?.querySelectorAll(".node") ?? []) {
  const name = node.dataset.name;
  const touches = (edge) => edge.dataset.start === name || edge.dataset.end === name;
  const show = (on) => {
    picture.classList.toggle("focused", on);
    const near = new Set([name]);
    for (const edge of picture.querySelectorAll(".edge")) {
      edge.classList.toggle("near", on && touches(edge));
      if (touches(edge)) near.add(edge.dataset.start).add(edge.dataset.end);
    }
    for (const other of picture.querySelectorAll(".node")) {
      other.classList.toggle("near", on && near.has(other.dataset.name));
    }
  };
  node.addEventListener("mouseenter", () => show(true));
  node.addEventListener("mouseleave", () => show(false));
}
