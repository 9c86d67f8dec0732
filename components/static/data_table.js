const events = ['sort_by', 'pick_bar', 'drop_filter', 'open_row', 'tick_row'];
function tell(from) {
  const at = from.closest('[data-event]');
  if (!at || !element.contains(at) || !events.includes(at.dataset.event)) return;
  if (at.dataset.event === 'open_row') {
    element.querySelectorAll('tr.open').forEach(row => row.classList.remove('open'));
    at.classList.add('open');
    const detail = document.getElementById(props.detail);
    if (detail && detail.getBoundingClientRect().top > innerHeight * 0.8)
      detail.scrollIntoView({block: 'center', behavior: 'smooth'});
  }
  trigger(at.dataset.event, {value: at.dataset.value});
}
element.addEventListener('click', event => tell(event.target));
element.addEventListener('keydown', event => {
  const at = event.target;
  if (event.key === 'Enter' && at.matches('tr[data-event]')) { event.preventDefault(); tell(at); }
  const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (step && at.matches('.dt-bar')) {
    const next = step > 0 ? at.nextElementSibling : at.previousElementSibling;
    if (next) { event.preventDefault(); at.tabIndex = -1; next.tabIndex = 0; next.focus(); }
  }
  const down = {ArrowDown: 1, ArrowUp: -1}[event.key];
  if (down && at.matches('tr[data-event]')) {
    const next = down > 0 ? at.nextElementSibling : at.previousElementSibling;
    if (next) { event.preventDefault(); next.focus(); }
  }
});
