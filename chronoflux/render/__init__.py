"""Rendering: a swarm and its pressure field as arrays. `widget` draws them in a browser.

A frame takes this way: a :class:`~chronoflux.model.simulation.Snapshot` goes through
:func:`~chronoflux.render.picture.compose` to a :class:`~chronoflux.render.picture.Picture`, which the live
view sends to the page, or :mod:`~chronoflux.render.static_image` draws as PNG. In three dimensions
:func:`~chronoflux.render.point_cloud.compose_cloud` takes its place.
"""
