document.querySelectorAll("th button").forEach((button, column) => {
  let ascending = false;
  button.addEventListener("click", () => {
    ascending = !ascending;
    const body = document.querySelector("tbody");
    const value = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
    const rows = [...body.rows].sort((a, b) =>
      value(a).localeCompare(value(b), undefined, { numeric: true }));
    body.append(...(ascending ? rows : rows.reverse()));
  });
});
