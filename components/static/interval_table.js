// Sends the key of a row that is clicked, or chosen by the keyboard.
function pick(from) {
  const row = from.closest('tr[data-key]');
  if (row) trigger('pick_row', {value: row.dataset.key});
}
element.addEventListener('click', event => pick(event.target));
element.addEventListener('keydown', event => {
  if (event.target.matches('tr[data-key]') && (event.key === 'Enter' || event.key === ' ')) {
    event.preventDefault();
    pick(event.target);
  }
});
