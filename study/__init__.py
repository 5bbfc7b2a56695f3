"""Keeps what the study finds: small files of its runs, tables in the docs, trained teams."""
