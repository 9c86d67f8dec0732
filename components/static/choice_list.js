// Sends the changed choices of a list at once, when its button is pressed.
const changed = () => [...element.querySelectorAll('select')].filter(at => at.value !== at.dataset.value);
element.addEventListener('change', event => {
  if (!event.target.matches('select')) return;
  element.querySelector('.cl-apply').disabled = changed().length === 0;
});
element.addEventListener('click', event => {
  if (!event.target.closest('.cl-apply')) return;
  trigger('choose', {value: JSON.stringify(Object.fromEntries(changed().map(at => [at.dataset.name, at.value])))});
});
