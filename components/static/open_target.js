// A chip that names a field opens the closed part with it, scrolls to the field and focuses it.
element.addEventListener('click', async event => {
  const chip = event.target.closest('[data-opens]');
  if (!chip) return;
  document.querySelector(`#${CSS.escape(chip.dataset.box)} > button.label-wrap:not(.open)`)?.click();
  // The part is laid out some frames later.
  for (let frame = 0; frame < 60; frame++) {
    const target = document.getElementById(chip.dataset.opens);
    if (target?.getClientRects().length) {
      target.scrollIntoView({block: 'nearest'});
      target.querySelector('input, textarea')?.focus({preventScroll: true});
      return;
    }
    await new Promise(requestAnimationFrame);
  }
});
