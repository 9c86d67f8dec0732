() => {
  // A button that opens another tab is hidden by that, which would leave the keyboard at the beginning of the page.
  // With a finger, the focus of a text field would open the keyboard on the screen.
  if (matchMedia('(pointer: coarse)').matches) return;
  const FIRST = {
    data: '#search :is(input, textarea)', train: '#preset input', chat: '#prompt textarea',
    evaluate: '#evaluate-field-run input', export: '#export-run input',
  };
  const until = performance.now() + 2000;
  function focusFirst() {
    const tab = document.querySelector('#steps > .tab-wrapper [role=tab][aria-selected=true]')?.dataset.tabId;
    const field = FIRST[tab] && document.querySelector(FIRST[tab]);
    if (field?.getClientRects().length) {
      // See dropdown_keys.js: the list of a drop-down stays closed.
      window.dispatchEvent(new Event('qs-focus'));
      field.focus();
    } else if (performance.now() < until) {
      setTimeout(focusFirst, 50);
    }
  }
  // The tab changes shortly after the answer that changes it.
  setTimeout(focusFirst, 150);
}
