FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY ffrtmp ./ffrtmp
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.12-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -rf /wheels \
    && useradd --create-home --uid 10001 ffrtmp && install -d -o ffrtmp /state
USER ffrtmp
ENV FFRTMP_STATE_DIR=/state
VOLUME /state
EXPOSE 7443 7480
HEALTHCHECK CMD ["ffrtmp", "health"]
ENTRYPOINT ["ffrtmp"]
CMD ["--help"]
