"""Yandex Market: https://yandex.ru/dev/market/partner-api/"""
