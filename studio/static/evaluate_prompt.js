// A span of an answer that stands in a training row, or its entry in the list, opens that row.
function pick(from) {
  const at = from.closest('[data-row]');
  if (at && element.contains(at)) trigger('pick_span', {value: at.dataset.row});
  return Boolean(at);
}
element.addEventListener('click', event => pick(event.target));
element.addEventListener('keydown', event => {
  // A button sends a click for these keys by itself.
  if (event.target.matches('span[data-row]') && (event.key === 'Enter' || event.key === ' ') && pick(event.target))
    event.preventDefault();
});
