"""Ozon: https://docs.ozon.ru/api/seller/"""
