// Buttons of the list of files: Delete asks once more, in its place.
element.addEventListener('click', event => {
  const button = event.target.closest('button'), row = button?.closest('tr');
  if (!row) return;
  const [actions, sure] = row.querySelectorAll('.ex-actions, .ex-sure'), value = row.dataset.name;
  if (button.matches('.ex-get')) trigger('download_file', {value});
  else if (button.matches('.ex-card-get')) trigger('download_card', {value});
  else if (button.matches('.ex-delete')) trigger('delete_file', {value});
  const asks = button.matches('.ex-ask');
  if (!asks && !button.matches('.ex-keep')) return;
  actions.hidden = asks;
  sure.hidden = !asks;
  // The focus stays in the row; on Keep, as a key that is pressed twice must delete nothing.
  row.querySelector(asks ? '.ex-keep' : '.ex-ask').focus();
});
