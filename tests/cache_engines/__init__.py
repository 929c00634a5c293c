"""Re-implementations of inference servers' prefix caches, with sessions, labelled breaks and a judge.

This package imports nothing from `playground`, so that it shares no assumption with the product's cache model.
"""
