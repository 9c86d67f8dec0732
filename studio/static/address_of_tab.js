// Write the open tab into the page's address, so that a reload or a bookmark comes back to it; other parts of it stay.
() => requestAnimationFrame(() => {
  // The page sends this event for its first tab, too, before it has read the address.
  const tab = document.querySelector('#steps > .tab-wrapper [role="tab"][aria-selected="true"]');
  if (!tab || !window.isTabOfAddressOpen) return;
  const address = new URL(location.href);
  address.searchParams.set('tab', tab.dataset.tabId);
  history.replaceState(history.state, '', address);
})
