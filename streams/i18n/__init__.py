"""Texts for people, as gettext catalogues: `DOMAIN.pot` has the English, `LANGUAGE/LC_MESSAGES/DOMAIN.po` the rest."""
