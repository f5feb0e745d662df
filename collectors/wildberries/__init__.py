"""Wildberries: https://dev.wildberries.ru/openapi/"""
