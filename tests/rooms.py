"""Coupled rooms of the past, made without a network."""

from __future__ import annotations

from chronoflux.replay.rehearsal import rehearse as make_room

__all__ = ["make_room"]
