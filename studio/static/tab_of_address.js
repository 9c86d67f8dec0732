// Open the tab that the page's address names, as after a reload.
() => {
  const wanted = new URLSearchParams(location.search).get('tab');
  const tabs = document.querySelectorAll('#steps > .tab-wrapper > .tab-container:not(.visually-hidden) [role="tab"]');
  const tab = [...tabs].find(one => one.dataset.tabId === wanted);
  if (tab && tab.getAttribute('aria-selected') !== 'true') tab.click();
  window.isTabOfAddressOpen = true;
}
